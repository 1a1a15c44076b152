"""What puts each extension to work, and checks the result end to end (paper, section 5.1)."""
