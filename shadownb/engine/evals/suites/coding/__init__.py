"""Suites of programs: functions to write or to repair, built and run in the sandbox by the tests that come with them."""
