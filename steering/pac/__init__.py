"""The PAC file: planned from the policy, rendered by templates, published only after its gates.

Whoever serves PACs needs ``publish.PacSet``; whoever explains them, ``plan.PacPlan.returns``.
"""
