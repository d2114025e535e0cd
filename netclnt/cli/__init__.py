"""The face: command line in, words and exit codes out. Nobody imports it."""
