"""What the tests of faults (test_fault_*.py, tests/soak) share: producers, what must be in the files, faults of disks."""
