"""The simulation: the whole engine on a simulated transport in virtual time, with faults drawn from a seed.

`python -m tests.simulation --seed 17 --world score` replays one run and tells its story.
"""
