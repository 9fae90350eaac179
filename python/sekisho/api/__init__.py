"""The AWS-compatible HTTP surface, driven by the service models that botocore carries.

    model        the installed models: operations, shapes, where each member lives
    router       service, method and raw path → operation
    sigv4        verifies signatures: the access key that signed a request
    codec        request → parameters; result → response (rest-json)
    query        the same for the query protocol (sts)
    validate     lengths, ranges, patterns and enums, from the shapes
    pattern      the model's regular expressions, read as Java reads them
    echo         the part of a refused value that a message repeats
    http         a request and a response as plain data
    operation    the registry of operations: a decorated function each, in `operations/`
    errors       exception → status, headers and body
    app          a request's way through these modules, and the ASGI application
    coverage     which operations of the models are implemented

To add an operation, write one function in `operations/`. Nothing else changes.
"""
