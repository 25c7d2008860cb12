"""The parts of `detect`: what it reads, what it holds, and what its child process computes."""
