"""What the integration tests stand on: balancers, sinks and Postfix instances of their own, clients
that write down what they were told, and the ledger that compares both ends."""
