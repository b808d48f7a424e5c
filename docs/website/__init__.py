"""The documentation as a site: pages staged, references rendered, links set right, built by Sphinx."""
