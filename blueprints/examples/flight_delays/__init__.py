"""The example: real flights scored for their arrival delay, a model replaced in full flow, drift where it is."""
