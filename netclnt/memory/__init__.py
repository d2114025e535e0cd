"""In-memory twins of the edges: for speed in tests, with knobs for faults. They pass the same contract suites."""
