"""Derives the constants of `exp` and `ln` in cnn-core/src/math.rs.

    pip install mpmath
    python tests/math/coefficients.py

prints every constant as an f32, bits and shortest decimal, polynomials from the lowest power on, and the error that is
left before the rounding of the evaluation: of e^r for `exp`, of R for `ln`.

Remez's exchange gives the minimax polynomial in real arithmetic. Its lowest coefficient is rounded to f32 and fixed,
the others are fitted again around it, and so on upwards: each fit makes up for the roundings before it.
"""

import struct

from mpmath import cos, exp, floor, linspace, log, lu_solve, matrix, mp, mpf, pi, sqrt

mp.prec = 120
GRID_POINTS = 1000
EXCHANGES = 10


def bits_of(value):
    return struct.unpack("<I", struct.pack("<f", float(value)))[0]


def to_f32(value):
    return mpf(struct.unpack("<f", struct.pack("<f", float(value)))[0])


def evaluate(coefficients, powers, x):
    return sum(coefficient * x**power for coefficient, power in zip(coefficients, powers))


def minimax(target, powers, low, high):
    """The coefficients of `powers` that make the largest |target - polynomial| over [low, high] smallest."""
    unknowns = len(powers) + 1
    grid = [x for x in linspace(low, high, GRID_POINTS) if x != 0]
    points = [grid[int((GRID_POINTS - 2) * (1 - cos(pi * i / (unknowns - 1))) / 2)] for i in range(unknowns)]
    for _ in range(EXCHANGES):
        system = matrix([[x**power for power in powers] + [(-1) ** row] for row, x in enumerate(points)])
        coefficients = list(lu_solve(system, matrix([target(x) for x in points])))[:-1]
        errors = [target(x) - evaluate(coefficients, powers, x) for x in grid]
        # The extreme of each stretch in which the error keeps its sign.
        extremes = [0]
        for i in range(1, len(grid)):
            if (errors[i] > 0) != (errors[i - 1] > 0):
                extremes.append(i)
            elif abs(errors[i]) > abs(errors[extremes[-1]]):
                extremes[-1] = i
        while len(extremes) > unknowns:
            extremes.pop(0 if abs(errors[extremes[0]]) < abs(errors[extremes[-1]]) else -1)
        if len(extremes) < unknowns:
            # Powers that all vanish at 0 may leave too few alternations to exchange: the last fit stands.
            break
        points = [grid[i] for i in extremes]
    return coefficients


def rounded_minimax(target, powers, low, high):
    """The same with coefficients that are f32, and the largest error that is left."""
    fixed = []
    while len(fixed) < len(powers):
        rest = minimax(lambda x: target(x) - evaluate(fixed, powers, x), powers[len(fixed) :], low, high)
        fixed.append(to_f32(rest[0]))
    error = max(abs(target(x) - evaluate(fixed, powers, x)) for x in linspace(low, high, GRID_POINTS))
    return fixed, error


def show(name, constants, error):
    print(f"{name}: error 2^{float(log(error, 2)):.2f}")
    for constant in constants:
        decimals = (f"{float(constant):.{digits}g}" for digits in range(1, 10))
        print(f"    {bits_of(constant):#010x}  {next(d for d in decimals if bits_of(d) == bits_of(constant))}")


def main():
    ln_2 = log(2)
    # 15 significant bits, so that the product with an integer of at most 9 bits is exact.
    high = floor(ln_2 * 2**15) / 2**15
    low = to_f32(ln_2 - high)
    show("LN_2_HIGH, LN_2_LOW", [high, low], abs(ln_2 - high - low))

    # e^r - 1 - r = r^2 q(r). The multiple of ln 2 is chosen with a rounded product: r may pass ln 2 / 2 by a little.
    bound = ln_2 / 2 * (1 + mpf(2) ** -16)
    show("exp, q", *rounded_minimax(lambda r: exp(r) - 1 - r, [2, 3, 4, 5, 6], -bound, bound))

    # ln((1 + s) / (1 - s)) = 2 s + s R(s^2); s = f / (2 + f) is largest for 1 + f = sqrt(2).
    def r_of(z):
        s = sqrt(z)
        return log((1 + s) / (1 - s)) / s - 2 if z > 0 else z

    show("ln, R", *rounded_minimax(r_of, [1, 2, 3], mpf(0), ((sqrt(2) - 1) / (sqrt(2) + 1)) ** 2))


if __name__ == "__main__":
    main()
