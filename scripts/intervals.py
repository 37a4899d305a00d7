"""The interval of a share, for the records."""


def wilson(k: int, n: int) -> list[float]:
    """The share and its 95 % interval."""
    if not n:
        return [0.0, 0.0, 1.0]
    z, p = 1.96, k / n
    mid, half = p + z * z / (2 * n), z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    low, high = (mid - half) / (1 + z * z / n), (mid + half) / (1 + z * z / n)
    return [round(x, 4) for x in (p, max(0.0, low), min(1.0, high))]
