"""ZEGOCLOUD's digital human: live stream tasks, the drives that make them speak, the drive socket and callbacks."""
