"""Calls handlers: Python functions in separate processes, webhooks, Lambda functions, the CSR signer.

    registry          names and ARNs to handlers (``provisioning.handlers.Handlers``)
    python_function   ``f(event, context)``, in worker processes
    worker            the program of such a process
    webhook           signed POST of JSON
    aws_lambda        Lambda's Invoke
    signer            certificates for certificate signing requests

Each worker process imports this file and has to start quickly, so it imports nothing.
"""
