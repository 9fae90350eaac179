"""Bulk registration of things.

Source: https://docs.aws.amazon.com/iot/latest/apireference/API_StartThingRegistrationTask.html and its neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sekisho import pages
from sekisho.api.operation import Call, operation
from sekisho.api.reports import link
from sekisho.provisioning.bulk.model import RegistrationTaskStatus, ReportType

if TYPE_CHECKING:
    from types_boto3_iot.type_defs import (
        DescribeThingRegistrationTaskRequestTypeDef,
        ListThingRegistrationTaskReportsRequestTypeDef,
        ListThingRegistrationTasksRequestTypeDef,
        StartThingRegistrationTaskRequestTypeDef,
        StopThingRegistrationTaskRequestTypeDef,
    )


@operation("iot", "StartThingRegistrationTask")
def start_thing_registration_task(call: Call, request: StartThingRegistrationTaskRequestTypeDef) -> Mapping[str, Any]:
    """Start to provision a device for each line of a file."""
    task = call.services.registration_tasks.start(
        call.realm,
        request["templateBody"],
        request["inputFileBucket"],
        request["inputFileKey"],
        request["roleArn"],
    )
    return {"taskId": task.task_id}


@operation("iot", "DescribeThingRegistrationTask")
def describe_thing_registration_task(
    call: Call, request: DescribeThingRegistrationTaskRequestTypeDef
) -> Mapping[str, Any]:
    """Return a task with its progress."""
    task = call.services.registration_tasks.describe(call.realm, request["taskId"])
    return {
        "taskId": task.task_id,
        "creationDate": task.created_at,
        "lastModifiedDate": task.modified_at,
        "templateBody": task.template_body,
        "inputFileBucket": task.input_bucket,
        "inputFileKey": task.input_key,
        "roleArn": task.role_arn,
        "status": task.status.value,
        "message": task.message,
        "successCount": task.success_count,
        "failureCount": task.failure_count,
        "percentageProgress": task.percentage,
    }


@operation("iot", "ListThingRegistrationTasks")
def list_thing_registration_tasks(call: Call, request: ListThingRegistrationTasksRequestTypeDef) -> Mapping[str, Any]:
    """Return task ids, oldest first."""
    status = request.get("status")
    tasks = call.services.registration_tasks.list(
        call.realm,
        pages.window(request.get("nextToken"), request.get("maxResults")),
        None if status is None else RegistrationTaskStatus(status),
    )
    return {
        "taskIds": [task.task_id for task in tasks.items],
        "nextToken": pages.next_marker(tasks.next_after),
    }


@operation("iot", "ListThingRegistrationTaskReports")
def list_thing_registration_task_reports(
    call: Call, request: ListThingRegistrationTaskReportsRequestTypeDef
) -> Mapping[str, Any]:
    """Return links to the reports of a task, which have an entry for each line."""
    reports = call.services.registration_tasks.reports(
        call.realm,
        request["taskId"],
        ReportType(request["reportType"]),
        pages.window(request.get("nextToken"), request.get("maxResults")),
    )
    return {
        "resourceLinks": [link(call.base_url, file) for file in reports.items],
        "reportType": request["reportType"],
        "nextToken": pages.next_marker(reports.next_after),
    }


@operation("iot", "StopThingRegistrationTask")
def stop_thing_registration_task(call: Call, request: StopThingRegistrationTaskRequestTypeDef) -> Mapping[str, Any]:
    """Cancel a task; provisioned devices stay."""
    call.services.registration_tasks.stop(call.realm, request["taskId"])
    return {}
