"""Who is who: names that make one lead of several, and how a merge is taken back."""
