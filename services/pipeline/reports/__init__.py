"""Reports, as far as they are queries: counting the rows that the pipeline keeps of every lead."""
