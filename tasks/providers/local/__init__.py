"""The offline renderer: free, CPU only, draft quality, behind the same seam as any vendor."""
