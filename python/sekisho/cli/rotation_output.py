"""The output of ``sekisho rotate``: JSON for programs, lines for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from sekisho.cli.device_files import DeviceFiles
from sekisho.cli.output import show_json, show_line
from sekisho.cli.rotator import Outcome, Rotator, Step

_NO_CA: Final = (
    "The CA that signs is not registered here as ACTIVE. The new certificates are registered without a CA: devices "
    "have to send SNI, and 'sekisho rotate ca' and 'sekisho rotate status --ca' will not find them by it."
)

_WHAT_WOULD_BE_DONE: Final = {
    Step.MAKE: "make a key and a certificate and register it",
    Step.REGISTER: "register the certificate of an earlier run",
    Step.WAIT: "do nothing more: the new certificate is registered",
}


def show_device(rotator: Rotator, files: DeviceFiles, outcome: Outcome, *, dry_run: bool, as_json: bool) -> None:
    """Print the result for one device; with a dry run, what it would be."""
    old_id = outcome.old_certificate_id
    certificate, key = files.certificate_file(old_id), files.key_file(old_id)
    if as_json:
        show_json(
            {
                "dryRun": dry_run,
                "oldCertificateId": old_id,
                "newCertificateId": outcome.new_certificate_id,
                "step": outcome.step.value,
                "certificate": str(certificate),
                "key": str(key),
                "registeredWithCa": rotator.registers_with_ca,
            }
        )
        return
    if not rotator.registers_with_ca:
        show_line(_NO_CA)
    if dry_run:
        show_line(f"would {_WHAT_WOULD_BE_DONE[outcome.step]}: {certificate}")
        return
    show_line(f"{certificate}  {key}")
    show_line(f"certificate id {outcome.new_certificate_id}")
    show_line("Bring both files to the device. The old certificate works until the new one has connected.")


def show_fleet(
    rotator: Rotator,
    files: DeviceFiles,
    outcomes: Sequence[Outcome],
    failed: Sequence[tuple[str, str]],
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Print the results for the devices of a CA; with a dry run, what they would be.

    Args:
        failed: Old certificate ids with the reason.
    """
    counts = {step: sum(outcome.step is step for outcome in outcomes) for step in Step}
    if as_json:
        show_json(
            {
                "dryRun": dry_run,
                "made": counts[Step.MAKE],
                "registered": counts[Step.REGISTER],
                "waiting": counts[Step.WAIT],
                "failed": [{"certificateId": old_id, "reason": reason} for old_id, reason in failed],
                "devices": [
                    {
                        "oldCertificateId": outcome.old_certificate_id,
                        "newCertificateId": outcome.new_certificate_id,
                        "step": outcome.step.value,
                    }
                    for outcome in outcomes
                ],
                "registeredWithCa": rotator.registers_with_ca,
            }
        )
        return
    if not rotator.registers_with_ca:
        show_line(_NO_CA)
    if dry_run:
        for step, count in counts.items():
            show_line(f"would {_WHAT_WOULD_BE_DONE[step]}: {count}")
    else:
        show_line(
            f"{counts[Step.MAKE]} made, {counts[Step.REGISTER]} registered from files of an earlier run, "
            f"{counts[Step.WAIT]} waiting already, {len(failed)} failed"
        )
        if outcomes:
            show_line(f"Bring the files in {files.folder} to the devices. 'sekisho rotate status' shows which wait.")
    for old_id, reason in failed:
        show_line(f"failed: {old_id}: {reason}")


def show_rotation(rotation: Mapping[str, Any], *, as_json: bool) -> None:
    """Print one rotation as the server answers it."""
    if as_json:
        show_json(rotation)
        return
    show_line(f"{rotation['oldCertificateId']} to {rotation['newCertificateId']}: {rotation['state']}")
    if rotation["state"] == "PENDING":
        show_line("The old certificate works until the new one has connected.")


def show_progress(progress: Mapping[str, int], pending: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    """Print the counts of rotations by state, and those that are pending.

    Args:
        pending: The pending rotations that the server lists; for text perhaps not all.
    """
    if as_json:
        show_json({**progress, "waiting": pending})
        return
    show_line(f"{progress['pending']} pending, {progress['done']} done, {progress['cancelled']} cancelled")
    for each in pending:
        since = datetime.fromtimestamp(each["startedAt"], UTC)
        show_line(f"{each['oldCertificateId']} waits for {each['newCertificateId']} since {since:%Y-%m-%dT%H:%M:%SZ}")
    if (hidden := progress["pending"] - len(pending)) > 0 and pending:
        show_line(f"and {hidden} more: --json lists all")
