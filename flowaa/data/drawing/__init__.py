"""Stylised faces, drawn from weights of extreme expressions."""
