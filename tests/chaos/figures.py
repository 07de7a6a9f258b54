"""What the chaos tests measured on the way, for the lines at the end of the test run."""

FIGURES: list[str] = []
