"""Language models. Importing this room tells OpenMP how llama.cpp's threads wait, which must precede loading it.

Spinning threads beside one busy neighbour cost a factor of 10 to 20; threads that sleep at barriers do not.
A user's own OMP_WAIT_POLICY or GOMP_SPINCOUNT is left alone.
"""

import os

if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
    os.environ["OMP_WAIT_POLICY"] = "passive"
