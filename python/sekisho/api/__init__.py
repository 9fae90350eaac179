"""The AWS-compatible HTTP surface, driven by the service models that botocore carries.

    model        the installed models: operations, shapes, where each member lives
    router       service, method and raw path → operation
    sigv4        who signed this
    codec        request → parameters; result → response (rest-json)
    query        the same for the query protocol (sts)
    validate     lengths, ranges, patterns and enums, from the shapes
    pattern      the model's regular expressions, read as Java reads them
    echo         what of a refused value a message repeats
    http         a request and a response as plain data
    operation    the registry of operations: a decorated function each, in `operations/`
    errors       exception → status, headers and body
    app          the journey of a request through all of these, and the ASGI application
    coverage     which operations of the models are there

To add an operation, write one function in `operations/`. Nothing else changes.
"""
