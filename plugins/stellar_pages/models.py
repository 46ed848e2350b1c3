"""Data of the page Models."""

from fastapi import APIRouter

router = APIRouter()
