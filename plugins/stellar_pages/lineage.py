"""Data of the page Lineage."""

from fastapi import APIRouter

router = APIRouter()
