"""The parts of bench/run: what is measured, by which programs, with which statistics, and how it is shown."""
