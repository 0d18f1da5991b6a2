// What a multiplier block of the ECP5 does with the registers that gen/templates/ecp5_multiplier.v asks for, for simulation.
module MULT18X18D #(
    parameter REG_INPUTA_CLK = "NONE", parameter REG_INPUTA_CE = "CE0",
    parameter REG_INPUTB_CLK = "NONE", parameter REG_INPUTB_CE = "CE0",
    parameter REG_OUTPUT_CLK = "NONE", parameter REG_OUTPUT_CE = "CE0"
) (
    input CLK0, CE0, CE1, RST0, SOURCEA, SOURCEB, SIGNEDA, SIGNEDB,
    input A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0,
    input B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0,
    output P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18, P17, P16, P15, P14, P13,
    P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0
);
    wire [17:0] a = {
        A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0
    };
    wire [17:0] b = {
        B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0
    };
    reg [17:0] held_a, held_b;
    reg [35:0] product;
    wire signed [35:0] left = {{18{held_a[17] & SIGNEDA}}, held_a};
    wire signed [35:0] right = {{18{held_b[17] & SIGNEDB}}, held_b};
    always @(posedge CLK0) begin
        if (RST0 | SOURCEA | SOURCEB) $stop;  // not used
        if (REG_INPUTA_CE == "CE0" ? CE0 : CE1) held_a <= a;
        if (REG_INPUTB_CE == "CE0" ? CE0 : CE1) held_b <= b;
        if (REG_OUTPUT_CE == "CE0" ? CE0 : CE1) product <= left * right;
    end
    initial
        if (REG_INPUTA_CLK != "CLK0" || REG_INPUTB_CLK != "CLK0" || REG_OUTPUT_CLK != "CLK0") $fatal(1, "registers are not used");
    assign {
        P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18, P17, P16, P15, P14, P13, P12,
        P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0
    } = product;
endmodule
