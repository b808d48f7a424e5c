"""What leadflow can do on this machine: each figure beside a limit of the machine taken in the same rounds."""
