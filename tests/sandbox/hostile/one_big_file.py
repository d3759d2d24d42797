"""Makes one file of 2 GiB, in holes and then in earnest up to 300 MiB."""

wrote = 0
try:
    with open("big", "wb") as file:
        file.truncate(2**31)
except OSError as error:
    print("truncate", error.errno)
try:
    with open("big2", "wb") as file:
        while wrote < 300 * 2**20:
            wrote += file.write(b"x" * 2**20)
            file.flush()
except OSError as error:
    print("write", error.errno)
print("wrote", wrote // 2**20, flush=True)
