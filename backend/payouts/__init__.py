"""Money out: owners' income and readers' refunds, in batches that two operators see before the bank does.

`details` says where a user is paid, `owners` what can be paid and why not all of it, `payments` moves the money,
`batches` prepares, approves, exports, confirms, `returned` takes back what the bank did not pay, `refunds` gives
readers back what they did not spend.
"""
