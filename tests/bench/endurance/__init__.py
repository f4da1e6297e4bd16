"""Many calls of all kinds in one run: does every one end as it should, and does the server stay as it was?"""
