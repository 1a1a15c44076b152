"""What the exercises' check cells call: a seed makes a problem, and its answers are printed and judged."""
