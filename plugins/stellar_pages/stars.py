"""Data of the page Star."""

from fastapi import APIRouter

router = APIRouter()
