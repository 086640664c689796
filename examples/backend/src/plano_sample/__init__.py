"""Sample backend of plano.delivery: clients, distributions and their results."""
