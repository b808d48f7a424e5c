"""The documentation as a site: pages staged, links set right, built by Sphinx."""
