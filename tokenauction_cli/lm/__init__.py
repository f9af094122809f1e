"""Language models. Importing it tells OpenMP how llama.cpp's threads wait, which must precede loading it.

Threads that spin for long at barriers cost a factor of 10 to 20 beside one busy neighbour; threads that sleep at once
cost up to a factor of 3 for single rows on a quiet machine. A short spin (1000 rounds, about 20 us) cost neither.
A user's own OMP_WAIT_POLICY or GOMP_SPINCOUNT is left alone.
"""

import os

if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
    os.environ["GOMP_SPINCOUNT"] = "1000"
