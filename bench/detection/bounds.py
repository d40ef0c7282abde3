"""Lorden's bound: a detector with mean time A between false alarms is at least log(A) / KL late (to first order).

KL is the divergence of what comes after the change from what came before. The bound is that of a detector that knows
both beforehand. Ours knows the first only from reference rows: what these have never seen (an unseen label, values
beyond the range) has a share of half a row. There the exact KL would be infinite or made of what no reference tells.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.special import digamma, gammaln, ndtr, ndtri, stdtr

Floats = NDArray[np.float64]
HALF_ROW = 0.5


def lorden(promise: float, kl: float) -> float:
    """Return the bound on the delay, in rows."""
    return math.log(promise) / kl


def normal_mean(shift: float) -> float:
    """Return the KL of N(shift, 1) from N(0, 1)."""
    return shift**2 / 2


def normal_scale(scale: float) -> float:
    """Return the KL of N(0, scale^2) from N(0, 1)."""
    return (scale**2 - 1) / 2 - math.log(scale)


def correlation(rho: float, columns: int = 2) -> float:
    """Return the KL of standard normals, each two with this correlation, from independent ones."""
    return -((columns - 1) * math.log(1 - rho) + math.log(1 + (columns - 1) * rho)) / 2


def shares(after: Floats, before: Floats) -> float:
    """Return the KL of one discrete distribution from another."""
    used = after > 0
    return float((after[used] * np.log(after[used] / before[used])).sum())


def student_exact(freedom: float) -> float:
    """Return the KL of Student's t with unit variance from N(0, 1), from its entropy."""
    half = (freedom + 1) / 2
    beta = gammaln(freedom / 2) + gammaln(0.5) - gammaln(half)
    entropy = half * (digamma(half) - digamma(freedom / 2)) + math.log(freedom) / 2 + beta
    entropy += math.log((freedom - 2) / freedom) / 2
    return float(math.log(2 * math.pi) / 2 + 0.5 - entropy)


def student_known(freedom: float, rows: int) -> float:
    """Return the same, by quadrature, with each tail that half a reference row lies beyond taken as one bin."""
    share = HALF_ROW / rows
    end = -float(ndtri(share))
    scale = math.sqrt((freedom - 2) / freedom)
    log_constant = gammaln((freedom + 1) / 2) - gammaln(freedom / 2) - math.log(freedom * math.pi) / 2

    def integrand(x: float) -> float:
        after = log_constant - (freedom + 1) / 2 * math.log1p((x / scale) ** 2 / freedom) - math.log(scale)
        before = -(x**2) / 2 - math.log(2 * math.pi) / 2
        return math.exp(after) * (after - before)

    inside, _ = quad(integrand, -end, end, epsabs=1e-10, limit=200)
    tail = float(stdtr(freedom, -end / scale))
    return float(inside + 2 * tail * math.log(tail / float(ndtr(-end))))
