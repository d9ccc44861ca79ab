"""What every Registry must do, tested on each of them alike."""
