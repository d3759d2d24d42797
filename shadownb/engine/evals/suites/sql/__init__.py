"""Questions about databases: queries that are executed, and graded by what they give."""
