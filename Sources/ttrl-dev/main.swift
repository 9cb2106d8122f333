print("ttrl")
