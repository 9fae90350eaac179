"""Calls handlers: Python functions in processes of their own, webhooks, Lambda functions, the CSR signer.

    registry          names and ARNs to handlers (``provisioning.handlers.Handlers``)
    python_function   ``f(event, context)``, in worker processes
    worker            the program of such a process
    webhook           POST of JSON, signed
    aws_lambda        Lambda's Invoke
    signer            certificates for certificate signing requests

This file is imported by each worker process, which is to start quickly: it imports nothing.
"""
