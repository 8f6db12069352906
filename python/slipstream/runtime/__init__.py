"""The asyncio shell: supervises pipelines, fans orders out, and owns every task and socket."""
