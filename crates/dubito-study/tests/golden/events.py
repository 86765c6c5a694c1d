"""Makes events.tfevents by TensorBoard's own writer, and reads a file of events back.

    pip install tensorboard
    python events.py              # writes events.tfevents
    python events.py FOLDER       # prints the scalars of a folder that `dubito train` wrote, as TensorBoard reads them
"""

import io
import pathlib
import sys

from tensorboard.backend.event_processing import event_accumulator
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

NOW = 1.75e9
HISTORY = [(1, 0.75, 0.6875), (2, 0.5, 0.625), (300, 0.25, 0.7)]


def write(path):
    out = io.BytesIO()
    writer = RecordWriter(out)
    writer.write(event_pb2.Event(wall_time=NOW, file_version="brain.Event:2").SerializeToString())
    for epoch, train_loss, valid_loss in HISTORY:
        scalars = {
            "loss/train": train_loss,
            "loss/valid": valid_loss,
            "accuracy/valid": 0.5 + epoch / 1024,
            "learning_rate": 0.001,
        }
        values = [summary_pb2.Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]
        event = event_pb2.Event(wall_time=NOW, step=epoch, summary=summary_pb2.Summary(value=values))
        writer.write(event.SerializeToString())
    writer.flush()
    path.write_bytes(out.getvalue())


def show(folder):
    events = event_accumulator.EventAccumulator(folder)
    events.Reload()
    for tag in events.Tags()["scalars"]:
        print(tag, [(scalar.step, round(scalar.value, 6)) for scalar in events.Scalars(tag)])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        show(sys.argv[1])
    else:
        path = pathlib.Path(__file__).with_name("events.tfevents")
        write(path)
        show(str(path))
