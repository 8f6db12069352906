"""What is measured and how it is shown: stages, floors, tables, the machine. Never decides."""
