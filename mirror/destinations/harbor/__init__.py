"""Harbor: its projects, and how it departs from the distribution specification."""
