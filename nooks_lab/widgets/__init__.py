"""Controls for the notebooks, over the views."""
