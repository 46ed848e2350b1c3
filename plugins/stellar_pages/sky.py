"""Data of the page Sky."""

from fastapi import APIRouter

router = APIRouter()
