"""The durable side: order ledger, activity log and the operator's orders, behind one port."""
