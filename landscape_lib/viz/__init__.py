"""What a surface looks like: figures for print, files for ParaView."""
