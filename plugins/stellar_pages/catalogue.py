"""Data of the page Catalogue."""

from fastapi import APIRouter

router = APIRouter()
