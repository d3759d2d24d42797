"""Functions to call and APIs to select: graded by names, types and values of what is called."""
