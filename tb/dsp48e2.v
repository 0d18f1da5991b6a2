// What a block of UltraScale+ does with the registers and modes that gen/templates/ultrascale_multiplier.v asks for, for simulation.
module DSP48E2 #(
    parameter AREG = 1, parameter ACASCREG = 1, parameter BREG = 1, parameter BCASCREG = 1, parameter MREG = 1, parameter PREG = 1,
    parameter ADREG = 1, parameter CREG = 1, parameter DREG = 1, parameter ALUMODEREG = 1, parameter CARRYINREG = 1,
    parameter CARRYINSELREG = 1, parameter INMODEREG = 1, parameter OPMODEREG = 1
) (
    input CLK, input [29:0] A, input [17:0] B, input [47:0] C, input [26:0] D, input [8:0] OPMODE, input [3:0] ALUMODE,
    input [4:0] INMODE, input [2:0] CARRYINSEL, input CARRYIN, input [47:0] PCIN, input [29:0] ACIN, input [17:0] BCIN,
    input CARRYCASCIN, MULTSIGNIN,
    input CEA1, CEA2, CEB1, CEB2, CEP, CEM, CEAD, CEC, CED, CEALUMODE, CECARRYIN, CECTRL, CEINMODE,
    input RSTA, RSTB, RSTP, RSTM, RSTC, RSTD, RSTALLCARRYIN, RSTALUMODE, RSTCTRL, RSTINMODE,
    output reg [47:0] P, output [47:0] PCOUT
);
    reg [29:0] a1, a2;
    reg [17:0] b1, b2;
    wire signed [47:0] left = {{21{a2[26]}}, a2[26:0]};
    wire signed [47:0] right = {{30{b2[17]}}, b2};
    wire [47:0] z = OPMODE[6:4] == 3'b000 ? 48'b0 : OPMODE[6:4] == 3'b001 ? PCIN : {{17{PCIN[47]}}, PCIN[47:17]};
    assign PCOUT = P;
    always @(posedge CLK) begin
        if (CEA1) a1 <= A;
        if (CEA2) a2 <= AREG == 2 ? a1 : A;
        if (CEB1) b1 <= B;
        if (CEB2) b2 <= BREG == 2 ? b1 : B;
        if (CEP) P <= left * right + z;
        // not used
        if (OPMODE[3:0] != 4'b0101 || OPMODE[8:7] != 0 || !(OPMODE[6:4] inside {3'b000, 3'b001, 3'b101})) $stop;
        if (ALUMODE != 0 || INMODE != 0 || CARRYINSEL != 0 || CARRYIN || RSTA || RSTB || RSTP) $stop;
    end
    initial if (MREG != 0 || PREG != 1 || OPMODEREG != 0 || INMODEREG != 0 || ALUMODEREG != 0) $fatal(1, "other registers");
endmodule
