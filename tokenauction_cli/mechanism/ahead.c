/* Passes performed ahead: a thread beside the caller's works off what was asked for, in the order of asking.

   `ahead_ask` notes a pass and returns its ticket; `ahead_wait` returns when it is done. A caller that waits performs
   what nobody has begun itself, so that nothing is lost where the thread does not get to run, or where there is none.
   What a pass answers is written where the caller wants it, and is UNDONE there before. One that reads what another
   makes names that other's answer, and begins when it is there.
*/
#include "passes.h"

#include <pthread.h>
#include <signal.h>
#include <stdint.h>

#ifndef SOURCES
#define SOURCES "unknown"
#endif
#define N_JOBS 1024 /* asked for and not yet begun */
#define N_ARGUMENTS 16
#define UNDONE -1.0

enum pass { SOFTMAX, MIXTURE, LOG_POOL, RISING };

struct job {
  enum pass pass;
  double *answer;
  const double *after;
  uintptr_t a[N_ARGUMENTS];
};

/* The sources that this was compiled from: the library is of no use to others. */
const char *passes_sources(void) { return SOURCES; }

static struct job jobs[N_JOBS];
static uint64_t asked, begun; /* tickets given out, and jobs taken up */
static int started, sleeping, waiting, running;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER, finished = PTHREAD_COND_INITIALIZER;

static int perform(const struct job *job) {
  const uintptr_t *a = job->a;
  switch (job->pass) {
    case SOFTMAX:
      return pass_softmax((const float *const *)a[0], (const double *)a[1], a[2], a[3], (double *)a[4], (double *)a[5],
                          (double *)a[6], (double *)a[7], (double *)a[8]);
    case MIXTURE:
      return pass_mixture((const double *)a[0], (const double *)a[1], (const double *)a[2], a[3], a[4], (double *)a[5],
                          (double *)a[6], (double *)a[7]);
    case LOG_POOL:
      return pass_log_pool((const float *const *)a[0], (const double *)a[1], (const double *)a[2],
                           (const double *)a[3], (const double *)a[4], (const double *)a[5], (const double *)a[6],
                           a[7], a[8], (double *)a[9], (double *)a[10], (double *)a[11], (double *)a[12],
                           (double *)a[13], (double *)a[14], (double *)a[15]);
    case RISING:
      return pass_rising((const double *)a[0], (const double *)a[1], a[2], a[3], a[4], (double *)a[5]);
  }
  return 1;
}

static void wait_for(const double *answer) {
  waiting++;
  while (*answer == UNDONE) pthread_cond_wait(&finished, &lock);
  waiting--;
}

/* Take up the next job; the lock is held before and after. What it needs was taken up before it. */
static void perform_next(void) {
  struct job job = jobs[begun++ % N_JOBS];
  running++;
  if (job.after) wait_for(job.after);
  pthread_mutex_unlock(&lock);
  int answer = perform(&job);
  pthread_mutex_lock(&lock);
  *job.answer = answer;
  running--;
  if (waiting) pthread_cond_broadcast(&finished);
}

static void *work(void *unused) {
  pthread_mutex_lock(&lock);
  for (;;) {
    sleeping = 1;
    while (begun == asked) pthread_cond_wait(&wake, &lock);
    sleeping = 0;
    perform_next();
  }
  return unused;
}

/* Start the thread, once. It leaves all signals to the others. */
void ahead_start(void) {
  pthread_t thread;
  sigset_t all, before;
  pthread_mutex_lock(&lock);
  if (!started) {
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    started = !pthread_create(&thread, NULL, work, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (started) pthread_detach(thread);
  }
  pthread_mutex_unlock(&lock);
}

/* Note a pass, to begin after another where `after` is that one's answer, and return its ticket; a0, a1, ... are the
   arguments of its function. */
uint64_t ahead_ask(int pass, double *answer, const double *after, uintptr_t a0, uintptr_t a1, uintptr_t a2,
                   uintptr_t a3, uintptr_t a4, uintptr_t a5, uintptr_t a6, uintptr_t a7, uintptr_t a8, uintptr_t a9,
                   uintptr_t a10, uintptr_t a11, uintptr_t a12, uintptr_t a13, uintptr_t a14, uintptr_t a15) {
  pthread_mutex_lock(&lock);
  while (asked - begun == N_JOBS) perform_next();
  *answer = UNDONE;
  jobs[asked % N_JOBS] = (struct job){(enum pass)pass, answer, after,
                                      {a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15}};
  uint64_t ticket = asked++;
  if (sleeping) pthread_cond_signal(&wake);
  pthread_mutex_unlock(&lock);
  return ticket;
}

/* What the pass with this ticket answers, done now at the latest. */
int ahead_wait(uint64_t ticket, const double *answer) {
  pthread_mutex_lock(&lock);
  while (begun <= ticket) perform_next();
  wait_for(answer);
  int known = (int)*answer;
  pthread_mutex_unlock(&lock);
  return known;
}

/* Return when nothing that was asked for is left to do. */
void ahead_finish(void) {
  pthread_mutex_lock(&lock);
  while (begun < asked) perform_next();
  waiting++;
  while (running) pthread_cond_wait(&finished, &lock);
  waiting--;
  pthread_mutex_unlock(&lock);
}
